# sgt for pictures and films, without PyTorch:
#   docker build -t sgt .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/work" sgt images photos painted --to vangogh
# Other extras: --build-arg EXTRAS=openvino; models that are added or fetched are kept with -v sgt-models:/models.

FROM python:3.13-slim AS build
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY stylegan_tool stylegan_tool
COPY train train
COPY export export
COPY examples examples
RUN python -m venv /opt/sgt && pip wheel --no-cache-dir --no-deps --wheel-dir /wheel .
ARG EXTRAS=""
RUN wheel="$(echo /wheel/*.whl)" \
 && /opt/sgt/bin/pip install --no-cache-dir -c constraints.txt "$wheel${EXTRAS:+[$EXTRAS]}"

FROM python:3.13-slim
COPY --from=build /opt/sgt /opt/sgt
# Whoever runs it, under whatever id, may keep models and caches.
RUN install -d -m 1777 /models /work /home/sgt
# NVIDIA's runtime hands over what encodes films only when it is asked.
ENV PATH="/opt/sgt/bin:$PATH" \
    HOME=/home/sgt \
    SGT_MODELS=/models \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility,video
USER 1000:1000
WORKDIR /work
ENTRYPOINT ["sgt"]
CMD ["--help"]
