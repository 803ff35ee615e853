//! Load generator with the command line of hey and the webhook API of Flagger's load tester.
fn main() {}
