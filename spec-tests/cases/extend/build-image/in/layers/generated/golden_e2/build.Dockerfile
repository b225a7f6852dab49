ARG base_image
FROM ${base_image}
ARG build_id=0
ARG user_id
ARG group_id
ARG mine=two
USER root
RUN test "$ONE" = /one && echo $mine > /two; echo $user_id > /user
USER ${user_id}:${group_id}
