// Asks Apache Kafka's own classes what they think of our bytes, and what theirs look like.
//
//   javac -cp 'JARS/*' -d OUT Oracle.java
//   java -cp 'OUT:JARS/*' Oracle messages < LINES    lines "name version hex": each is read and
//                                                    written again; prints those that come out
//                                                    the same, fails if any does not
//   java -cp 'OUT:JARS/*' Oracle batches < LINES     lines "name hex" of record batches: prints
//                                                    what Kafka reads, a line a record
//   java -cp 'OUT:JARS/*' Oracle write-messages      prints messages with known fields
//   java -cp 'OUT:JARS/*' Oracle write-batches       prints a batch of every codec
//
// JARS is the folder of the jars of Kafka 4.2.1 (or of its `libs`).

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.zip.CRC32C;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.message.AddRaftVoterRequestData;
import org.apache.kafka.common.message.InitProducerIdRequestData;
import org.apache.kafka.common.message.LeaderChangeMessage;
import org.apache.kafka.common.message.ListOffsetsRequestData;
import org.apache.kafka.common.message.OffsetCommitRequestData;
import org.apache.kafka.common.message.OffsetFetchRequestData;
import org.apache.kafka.common.message.VotersRecord;
import org.apache.kafka.common.message.WriteTxnMarkersRequestData;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.record.CompressionType;
import org.apache.kafka.common.record.ControlRecordType;
import org.apache.kafka.common.record.EndTransactionMarker;
import org.apache.kafka.common.record.MemoryRecords;
import org.apache.kafka.common.record.MemoryRecordsBuilder;
import org.apache.kafka.common.record.MutableRecordBatch;
import org.apache.kafka.common.record.Record;
import org.apache.kafka.common.record.RecordBatch;
import org.apache.kafka.common.record.SimpleRecord;
import org.apache.kafka.common.record.TimestampType;

public class Oracle {
    private static final HexFormat HEX = HexFormat.of();
    private static final String[] PACKAGES = {
        "org.apache.kafka.common.message.",
        "org.apache.kafka.common.metadata.",
        "org.apache.kafka.coordinator.group.generated.",
        "org.apache.kafka.coordinator.share.generated.",
        "org.apache.kafka.coordinator.transaction.generated.",
        "org.apache.kafka.server.log.remote.metadata.storage.generated.",
    };

    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "messages" -> messages();
            case "batches" -> batches();
            case "write-messages" -> writeMessages();
            case "write-batches" -> writeBatches();
            default -> throw new IllegalArgumentException(args[0]);
        }
    }

    private static Class<?> find(String name) throws ClassNotFoundException {
        for (String prefix : PACKAGES) {
            for (String suffix : new String[] {"", "Data"}) {
                try {
                    return Class.forName(prefix + name + suffix);
                } catch (ClassNotFoundException e) {
                    // The next one.
                }
            }
        }
        throw new ClassNotFoundException(name);
    }

    private static void messages() throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        int lines = 0;
        int failures = 0;
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            if (line.isBlank() || line.startsWith("#")) {
                continue;
            }
            lines++;
            String[] parts = line.split(" ", -1);
            String problem = null;
            try {
                problem = roundTrip(parts[0], Short.parseShort(parts[1]), HEX.parseHex(parts[2]));
            } catch (Exception e) {
                problem = e.toString();
            }
            if (problem == null) {
                System.out.println(line);
            } else {
                failures++;
                String shown = line.substring(0, Math.min(600, line.length()));
                System.err.println(problem + "\n  " + shown);
            }
        }
        System.err.println(lines + " messages, " + failures + " differ");
        System.exit(failures == 0 ? 0 : 1);
    }

    private static String roundTrip(String name, short version, byte[] bytes) throws Exception {
        Message message = (Message) find(name).getConstructor().newInstance();
        ByteBuffer buffer = ByteBuffer.wrap(bytes);
        message.read(new ByteBufferAccessor(buffer), version);
        if (buffer.hasRemaining()) {
            return "leaves " + buffer.remaining() + " bytes";
        }
        byte[] again = bytes(message, version);
        return Arrays.equals(bytes, again) ? null : "writes " + HEX.formatHex(again);
    }

    private static byte[] bytes(Message message, short version) {
        ByteBuffer buffer = MessageUtil.toByteBufferAccessor(message, version).buffer();
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        return bytes;
    }

    private static String text(ByteBuffer bytes) {
        if (bytes == null) {
            return "null";
        }
        byte[] copy = new byte[bytes.remaining()];
        bytes.duplicate().get(copy);
        return HEX.formatHex(copy);
    }

    // Long values as their length and CRC-32C.
    private static String brief(ByteBuffer bytes) {
        if (bytes == null || bytes.remaining() <= 64) {
            return text(bytes);
        }
        CRC32C crc = new CRC32C();
        crc.update(bytes.duplicate());
        return bytes.remaining() + ":" + Long.toHexString(crc.getValue());
    }

    private static void batches() throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] parts = line.split(" ", -1);
            MemoryRecords records = MemoryRecords.readableRecords(ByteBuffer.wrap(HEX.parseHex(parts[1])));
            int read = 0;
            for (MutableRecordBatch batch : records.batches()) {
                batch.ensureValid();
                read += batch.sizeInBytes();
                System.out.println(String.join(" ", parts[0], "batch",
                    batch.baseOffset() + "-" + batch.lastOffset(), batch.compressionType().name,
                    batch.timestampType().name, "" + batch.maxTimestamp(),
                    "epoch " + batch.partitionLeaderEpoch(), "producer " + batch.producerId(),
                    "" + batch.producerEpoch(), batch.baseSequence() + "-" + batch.lastSequence(),
                    "transactional " + batch.isTransactional(),
                    "control " + batch.isControlBatch()));
                for (Record record : batch) {
                    StringBuilder headers = new StringBuilder();
                    for (Header header : record.headers()) {
                        byte[] value = header.value();
                        headers.append(" ").append(header.key()).append("=")
                            .append(brief(value == null ? null : ByteBuffer.wrap(value)));
                    }
                    System.out.println(String.join(" ", parts[0], "record", "" + record.offset(),
                        "" + record.timestamp(), brief(record.key()), brief(record.value()))
                        + headers);
                }
            }
            if (read != records.sizeInBytes()) {
                throw new IllegalStateException(parts[0] + ": bytes are left");
            }
        }
    }

    private static void print(Message message, int version) {
        String name = message.getClass().getSimpleName().replaceAll("Data$", "");
        System.out.println(name + " " + version + " " + HEX.formatHex(bytes(message, (short) version)));
    }

    private static void writeMessages() {
        AddRaftVoterRequestData voter = new AddRaftVoterRequestData().setClusterId("praha")
            .setTimeoutMs(1500).setVoterId(3004).setVoterDirectoryId(new Uuid(1, 2))
            .setAckWhenCommitted(false);
        voter.listeners().add(new AddRaftVoterRequestData.Listener().setName("CONTROLLER")
            .setHost("c4").setPort(65535));
        print(voter, 1);
        print(new InitProducerIdRequestData().setTransactionalId("t").setTransactionTimeoutMs(7)
            .setProducerId(8).setProducerEpoch((short) 9).setEnable2Pc(true)
            .setKeepPreparedTxn(true), 6);
        print(new ListOffsetsRequestData().setReplicaId(-1).setIsolationLevel((byte) 1)
            .setTimeoutMs(250)
            .setTopics(List.of(new ListOffsetsRequestData.ListOffsetsTopic().setName("vltava")
                .setPartitions(List.of(new ListOffsetsRequestData.ListOffsetsPartition()
                    .setPartitionIndex(2).setCurrentLeaderEpoch(5).setTimestamp(-3))))), 11);
        print(new OffsetCommitRequestData().setGroupId("g").setGenerationIdOrMemberEpoch(4)
            .setMemberId("m").setGroupInstanceId(null)
            .setTopics(List.of(new OffsetCommitRequestData.OffsetCommitRequestTopic()
                .setTopicId(new Uuid(3, 4))
                .setPartitions(List.of(new OffsetCommitRequestData.OffsetCommitRequestPartition()
                    .setPartitionIndex(1).setCommittedOffset(99).setCommittedLeaderEpoch(2)
                    .setCommittedMetadata("x"))))), 10);
        print(new OffsetFetchRequestData().setRequireStable(true)
            .setGroups(List.of(new OffsetFetchRequestData.OffsetFetchRequestGroup()
                .setGroupId("g").setMemberId("m").setMemberEpoch(6)
                .setTopics(List.of(new OffsetFetchRequestData.OffsetFetchRequestTopics()
                    .setTopicId(new Uuid(5, 6)).setPartitionIndexes(List.of(0, 7)))))), 10);
        print(new WriteTxnMarkersRequestData()
            .setMarkers(List.of(new WriteTxnMarkersRequestData.WritableTxnMarker()
                .setProducerId(77).setProducerEpoch((short) 3).setTransactionResult(true)
                .setCoordinatorEpoch(21).setTransactionVersion((byte) 2)
                .setTopics(List.of(new WriteTxnMarkersRequestData.WritableTxnMarkerTopic()
                    .setName("vltava").setPartitionIndexes(List.of(1, 4)))))), 2);
        print(new LeaderChangeMessage().setVersion((short) 1).setLeaderId(3001)
            .setVoters(List.of(new LeaderChangeMessage.Voter().setVoterId(3001)
                .setVoterDirectoryId(new Uuid(7, 8))))
            .setGrantingVoters(List.of(new LeaderChangeMessage.Voter().setVoterId(3002))), 1);
        VotersRecord.Voter member = new VotersRecord.Voter().setVoterId(3001)
            .setVoterDirectoryId(new Uuid(9, 10))
            .setKRaftVersionFeature(new VotersRecord.KRaftVersionFeature()
                .setMinSupportedVersion((short) 0).setMaxSupportedVersion((short) 1));
        member.endpoints().add(new VotersRecord.Endpoint().setName("CONTROLLER").setHost("c1")
            .setPort(9093));
        print(new VotersRecord().setVersion((short) 0).setVoters(List.of(member)), 0);
    }

    private static void print(String name, MemoryRecords records) {
        System.out.println(name + " " + text(records.buffer()));
    }

    private static SimpleRecord[] records() {
        Header[] headers = {
            new RecordHeader("trace", "1".getBytes(StandardCharsets.UTF_8)),
            new RecordHeader("none", (byte[]) null),
        };
        byte[] many = new byte[500];
        Arrays.fill(many, (byte) 'v');
        return new SimpleRecord[] {
            new SimpleRecord(1_700_000_000_000L, "key".getBytes(StandardCharsets.UTF_8), many, headers),
            new SimpleRecord(1_700_000_000_500L, null, "value".getBytes(StandardCharsets.UTF_8)),
            new SimpleRecord(1_699_999_999_000L, "tombstone".getBytes(StandardCharsets.UTF_8), null),
        };
    }

    private static void writeBatches() {
        for (CompressionType type : CompressionType.values()) {
            Compression compression = Compression.of(type).build();
            print(type.name, MemoryRecords.withIdempotentRecords((byte) 2, 1000L, compression,
                77L, (short) 3, 40, 6, records()));
        }
        MemoryRecordsBuilder builder = MemoryRecords.builder(ByteBuffer.allocate(2048),
            RecordBatch.MAGIC_VALUE_V2, Compression.NONE, TimestampType.LOG_APPEND_TIME, 5L,
            1_700_000_001_000L);
        for (SimpleRecord record : records()) {
            builder.append(record);
        }
        print("append-time", builder.build());
        print("commit", MemoryRecords.withEndTransactionMarker(12L, 1_700_000_000_000L, 4, 77L,
            (short) 3, new EndTransactionMarker(ControlRecordType.COMMIT, 21)));
        print("leader-change", MemoryRecords.withLeaderChangeMessage(30L, 1_700_000_000_000L, 9,
            ByteBuffer.allocate(512), new LeaderChangeMessage().setLeaderId(3001)
                .setVoters(List.of(new LeaderChangeMessage.Voter().setVoterId(3001)))));
    }
}
