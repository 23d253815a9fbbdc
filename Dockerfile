# syntax=docker/dockerfile:1
FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json ./
COPY bin bin
COPY scripts scripts
COPY src src
RUN node scripts/prepare.mjs && npm prune --omit=dev --ignore-scripts --no-audit --no-fund

FROM node:24-slim
ENV NODE_ENV=production STATUSMESH_READY=1
WORKDIR /app
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY web web
COPY package.json LICENSE ./
COPY bin bin
COPY scripts scripts
COPY regions regions
RUN ln -s /app/bin/statusmesh.mjs /usr/local/bin/statusmesh && mkdir -p /data /certs && chown node:node /data /certs
USER node
VOLUME ["/data"]
EXPOSE 8080 9080
# The port of STATUSMESH_HTTP, wherever it is bound.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${(process.env.STATUSMESH_HTTP ?? ':8080').split(':').pop()}/healthz`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "/app/bin/statusmesh.mjs"]
CMD ["--help"]
