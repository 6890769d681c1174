//! The media plane: SDP offer and answer, RTP relay. Pure: no socket, no clock, no task.
