ARG base_image
FROM ${base_image}
RUN echo more
