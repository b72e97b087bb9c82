"""What a model does under a load: requests in flight or a request rate, on one replica or on pools for prefill and decode."""
