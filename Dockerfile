# docs/operations.md says how to pin it by digest.
FROM python:3.13.9-slim AS build
WORKDIR /source
COPY constraints.txt pyproject.toml README.md LICENSE cli.py ./
COPY samples samples
COPY docs/siproster.1 docs/
COPY worker worker
RUN python -m pip install --no-cache-dir --constraint constraints.txt hatchling \
    && python -m pip wheel --no-deps --no-build-isolation --wheel-dir /wheel .
RUN python -m venv /opt/siproster \
    && /opt/siproster/bin/python -m pip install --no-cache-dir --constraint constraints.txt /wheel/*.whl

FROM python:3.13.9-slim
RUN useradd --uid 10001 --create-home siproster \
    && install --directory --owner=siproster --mode=0700 /results
COPY --from=build /opt/siproster /opt/siproster
ENV PATH=/opt/siproster/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER siproster
WORKDIR /home/siproster
ENTRYPOINT ["siproster"]
CMD ["--help"]
