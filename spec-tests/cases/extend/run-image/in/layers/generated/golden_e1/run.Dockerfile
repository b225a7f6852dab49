ARG base_image
FROM ${base_image}
ARG build_id=0
ARG user_id
ARG group_id
USER root
RUN echo one > /one
ENV ONE=1
LABEL io.buildpacks.rebasable=true
USER ${user_id}:${group_id}
