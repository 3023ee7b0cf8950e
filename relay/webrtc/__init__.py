"""One browser: SDP screened, one peer connection, raw RTP in and out."""
