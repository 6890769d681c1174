//! Joins the pure crates with the store: directory, registrar, calls. No vendor word in it, no listening socket.
