"""The EC2 API, as EC2's own clients speak it: form-encoded requests signed by SigV4, answers in XML.

Which members a request and an answer have, and what they are called on the wire, comes from botocore's model
of EC2 (`shapes`). What is done with them is one handler per operation, listed in `operations`.
"""
