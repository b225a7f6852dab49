ARG base_image
FROM ${base_image}
ENTRYPOINT ["/bin/x"]
