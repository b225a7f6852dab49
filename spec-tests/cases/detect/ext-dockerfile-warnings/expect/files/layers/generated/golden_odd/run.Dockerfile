ARG base_image
FROM ${base_image}
ARG x
ENV A=b
LABEL l=m
SHELL ["/bin/sh", "-c"]
USER root
WORKDIR /
COPY . /a
ADD . /b
RUN echo hi
EXPOSE 80
