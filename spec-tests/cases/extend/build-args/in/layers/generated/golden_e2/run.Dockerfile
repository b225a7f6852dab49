ARG base_image
FROM ${base_image}
ARG base_image
ARG build_id=0
ARG user_id
ARG group_id
USER root
RUN echo $base_image > /base2; echo $build_id > /id2; echo $user_id $group_id > /two
USER ${user_id}:${group_id}
LABEL io.buildpacks.rebasable=true
