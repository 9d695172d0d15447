# vltava-broker: static programs alone. `cargo xtask images` compiles them and lays out the context.
FROM scratch
COPY root/ /
COPY --chown=65532:65532 data/ /var/lib/vltava/
VOLUME /var/lib/vltava
USER 65532:65532
# 9092: clients and brokers inside. 9404: metrics and probes.
# What `/vltava` asks where nobody names a broker.
ENV VLTAVA_BOOTSTRAP_SERVER=localhost:9092
EXPOSE 9092 9404
ENTRYPOINT ["/vltava-broker"]
