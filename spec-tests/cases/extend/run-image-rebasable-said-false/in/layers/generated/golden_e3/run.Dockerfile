ARG base_image
FROM ${base_image}
ARG build_id=0
ARG user_id
ARG group_id
LABEL io.buildpacks.rebasable=true
