FROM registry.example/run:one
