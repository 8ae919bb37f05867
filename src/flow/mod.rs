//! One item's way through a plan: decode, steps, encode. HTTP and offline both end here.
//!
//! It knows neither HTTP nor folders; who calls it hands in payloads and takes bytes.
