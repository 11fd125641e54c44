"""What a request is answered with: plain objects, without HTTP and without Ray, that jobs and endpoints share."""
