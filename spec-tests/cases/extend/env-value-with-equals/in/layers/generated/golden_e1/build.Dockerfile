ARG base_image
FROM ${base_image}
ENV OPTS=a=b,c=d
