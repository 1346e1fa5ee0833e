"""Reading photographs and annotations."""
