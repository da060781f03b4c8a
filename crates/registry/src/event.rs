//! Events: every change writes one row in its own transaction (DESIGN "Events").
