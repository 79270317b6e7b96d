"""Loading weights, OpenVINO and torch backends."""
