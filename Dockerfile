# The gateway alone: no compiler, no tests, no embedded database. It runs as 10001, needs nothing writable but its data
# directory, and expects its configuration in /etc/daypass:
#
#   docker run --read-only -v ./config:/etc/daypass:ro -v daypass:/var/lib/daypass -e DATABASE_URL=… -e REDIS_URL=… daypass
#
# deploy/compose.yaml is a whole installation.

FROM node:24-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY tsconfig.json ./
COPY scripts scripts
COPY src src
RUN mkdir test && node scripts/build.mjs

FROM node:24-slim AS packages
WORKDIR /packages
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --omit=optional

FROM node:24-slim
ENV NODE_ENV=production DAYPASS_DATA=/var/lib/daypass
RUN groupadd --gid 10001 daypass \
  && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/daypass --shell /usr/sbin/nologin daypass \
  && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/daypass
WORKDIR /opt/daypass
COPY package.json LICENSE ./
COPY schema schema
COPY --from=packages /packages/node_modules node_modules
COPY --from=build /build/dist/src dist/src
RUN ln -s /opt/daypass/dist/src/cli/main.js /usr/local/bin/daypass
USER 10001:10001
# Revocations that wait for the ledger and the operator's socket; everything else may be read-only.
VOLUME /var/lib/daypass
EXPOSE 8080 6432 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:9464/livez').then((it) => process.exit(it.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "/opt/daypass/dist/src/cli/main.js"]
CMD ["serve", "--config", "/etc/daypass"]
