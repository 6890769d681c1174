//! What a call does: its legs, its script of verbs, the record it leaves. Pure: no socket, no clock, no task.
