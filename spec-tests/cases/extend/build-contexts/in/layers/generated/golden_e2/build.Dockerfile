ARG base_image
FROM ${base_image}
COPY file /file2
