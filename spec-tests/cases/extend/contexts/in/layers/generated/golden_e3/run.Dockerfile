ARG base_image
FROM ${base_image}
COPY file /file3
LABEL io.buildpacks.rebasable=true
