//! Folders in, tables and files out, through the same flow as HTTP.
