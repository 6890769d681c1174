//! The faces: Plivo, Vobiz and Bandwidth v1. They translate at the edge and decide nothing that the core decides.
