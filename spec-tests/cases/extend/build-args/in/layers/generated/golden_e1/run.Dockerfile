ARG base_image
FROM ${base_image}
ARG base_image
ARG build_id=0
ARG user_id
ARG group_id
ARG mine
USER root
RUN echo $base_image > /base1; echo $build_id > /id1; echo $user_id $group_id $mine > /one
USER 1234:4321
LABEL io.buildpacks.rebasable=true
