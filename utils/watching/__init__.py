"""What a person looks at while a network learns."""
