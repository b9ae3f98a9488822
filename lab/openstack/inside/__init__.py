"""What runs in the lab's own environment, beside the services: started by path, never imported from here."""
