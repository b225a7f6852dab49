ARG base_image
FROM ${base_image}
ARG build_id=0
ARG user_id
ARG group_id
ARG mine
USER root
RUN echo $mine > /one
ENV ONE=/one
USER ${user_id}:${group_id}
