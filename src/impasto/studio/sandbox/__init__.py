"""What strangers send is decoded here, in a process of its own with limits."""
