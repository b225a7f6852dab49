ARG base_image
FROM ${base_image}
USER root
RUN echo one > /one
LABEL io.buildpacks.rebasable=true
