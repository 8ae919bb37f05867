//! Durations and sizes: strings with a unit ("2ms", "16MiB").
