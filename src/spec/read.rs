//! A parsed document to a typed [`super::Spec`].
