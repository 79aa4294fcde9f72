# docker build -t touchline .                              for processors
# docker build -t touchline --build-arg JAX=cuda12 .       for NVIDIA GPUs too: jax brings CUDA, the host its driver
# docker run --rm -v "$PWD":/work touchline run pipeline   (with --gpus all for the latter)
ARG PYTHON=3.12

FROM python:${PYTHON}-slim-bookworm AS packages
ARG JAX=""
# torch trains on processors here, and its build for them is a tenth of the other's size; empty where it is out of reach.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_EXTRA_INDEX_URL=${TORCH_INDEX}
RUN python -m venv /opt/touchline
WORKDIR /build
# The packages before the sources, so that a change of the latter installs nothing anew.
COPY constraints.txt LICENSE pyproject.toml README.md ./
RUN mkdir -p src/touchline && touch src/touchline/__init__.py && \
    /opt/touchline/bin/pip install -c constraints.txt '.[all]' "jax${JAX:+[$JAX]}"
COPY src src
RUN /opt/touchline/bin/pip install --no-deps --force-reinstall .

FROM python:${PYTHON}-slim-bookworm
# What MuJoCo renders with where there is no GPU, and a first process that passes on signals and reaps couriers.
RUN apt-get update && \
    apt-get install -y --no-install-recommends libegl1 libegl-mesa0 libgl1-mesa-dri libopengl0 tini && \
    rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --create-home touchline && install -d -o touchline /work
COPY --from=packages /opt/touchline /opt/touchline
ENV PATH=/opt/touchline/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    TOUCHLINE_HOME=/work/.touchline \
    XLA_PYTHON_CLIENT_PREALLOCATE=false \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility,graphics
USER touchline
WORKDIR /work
ENTRYPOINT ["tini", "--", "touchline"]
CMD ["doctor"]
