"""Des phrases choisies une à une : reformulées, traduites, ambiguës, tutoyées puis vouvoyées."""
