ARG base_image
FROM ${base_image}
COPY file /file2
LABEL io.buildpacks.rebasable=true
