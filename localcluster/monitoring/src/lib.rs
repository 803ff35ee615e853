//! Runs a real Prometheus whose scrape configuration is written from PodMonitor objects.
