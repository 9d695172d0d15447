# vltava-operator: static programs alone. `cargo xtask images` compiles them and lays out the context.
FROM scratch
COPY root/ /
USER 65532:65532
# 8080: metrics and probes.
EXPOSE 8080
ENTRYPOINT ["/vltava-operator"]
