# vltava-coordinator: static programs alone. `cargo xtask images` compiles them and lays out the context.
FROM scratch
COPY root/ /
COPY --chown=65532:65532 data/ /var/lib/vltava/
VOLUME /var/lib/vltava
USER 65532:65532
# 9093: coordinators and brokers. 9404: metrics and probes.
EXPOSE 9093 9404
ENTRYPOINT ["/vltava-coordinator"]
