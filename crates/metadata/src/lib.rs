//! Metadata records and the image of the cluster that they build.
