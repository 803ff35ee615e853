//! The app being released: answers its version, exports a request summary.
