"""What a model looks at when it says a class, and at what more than when it says others: bias in what it learned."""
