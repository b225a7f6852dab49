ARG base_image
FROM ${base_image}
ARG build_id=0
ARG user_id
ARG group_id
USER root
RUN cat /one > /two; echo two >> /two; echo $ONE >> /two
ENV TWO=2
LABEL io.buildpacks.rebasable=true
USER ${user_id}:${group_id}
