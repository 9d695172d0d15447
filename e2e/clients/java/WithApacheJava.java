// Apache's Java client, idempotent and not, then transactional: see the README beside this folder.
// The first argument is the group protocol, classic or consumer.

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Future;
import java.util.function.BooleanSupplier;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class WithApacheJava {
    static final int RECORDS = 600;
    static final int PARTITIONS = 6;

    final String bootstrap;
    final String topic;
    final String group;
    final String protocol;
    final List<Member> members = new ArrayList<>();

    WithApacheJava(String[] arguments) {
        bootstrap = arguments[1];
        topic = arguments[2];
        group = arguments[3];
        protocol = arguments[0];
    }

    /** A consumer in a thread of its own. */
    class Member extends Thread {
        final List<String> seen = new ArrayList<>();
        volatile int count;
        volatile int assigned;
        volatile boolean isLeaving;
        volatile Exception failure;

        @Override
        public void run() {
            Properties settings = settings();
            settings.put("group.id", group);
            settings.put("group.protocol", protocol);
            settings.put("auto.offset.reset", "earliest");
            settings.put("enable.auto.commit", "false");
            settings.put("key.deserializer", StringDeserializer.class.getName());
            settings.put("value.deserializer", StringDeserializer.class.getName());
            try (var consumer = new KafkaConsumer<String, String>(settings)) {
                consumer.subscribe(List.of(topic));
                while (!isLeaving) {
                    var records = consumer.poll(Duration.ofMillis(200));
                    for (ConsumerRecord<String, String> record : records) {
                        seen.add(record.partition() + "/" + record.offset());
                    }
                    if (!records.isEmpty()) {
                        consumer.commitSync();
                    }
                    count = seen.size();
                    assigned = consumer.assignment().size();
                }
            } catch (Exception error) {
                failure = error;
            }
        }

        void leave() throws InterruptedException {
            isLeaving = true;
            join();
        }
    }

    Properties settings() {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        return settings;
    }

    void produce(boolean isIdempotent) throws Exception {
        Properties settings = settings();
        settings.put("acks", "all");
        settings.put("enable.idempotence", String.valueOf(isIdempotent));
        settings.put("key.serializer", StringSerializer.class.getName());
        settings.put("value.serializer", StringSerializer.class.getName());
        try (var producer = new KafkaProducer<String, String>(settings)) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (int index = 0; index < RECORDS; index++) {
                String value = String.valueOf(index);
                sent.add(producer.send(
                    new ProducerRecord<>(topic, index % PARTITIONS, null, value)));
            }
            for (Future<RecordMetadata> one : sent) {
                one.get();
            }
        }
    }

    int seen() {
        return members.stream().mapToInt(member -> member.count).sum();
    }

    void until(String what, BooleanSupplier isReached) throws Exception {
        long deadline = System.nanoTime() + Duration.ofSeconds(60).toNanos();
        while (!isReached.getAsBoolean()) {
            for (Member member : members) {
                if (member.failure != null) {
                    throw member.failure;
                }
            }
            if (System.nanoTime() > deadline) {
                var assigned = members.stream().map(member -> member.assigned).toList();
                throw new Exception(what + " did not come: " + assigned + ", " + seen());
            }
            Thread.sleep(50);
        }
    }

    void run() throws Exception {
        produce(false);
        for (int index = 0; index < 2; index++) {
            members.add(new Member());
            members.get(index).start();
        }
        Member first = members.get(0);
        Member second = members.get(1);
        until("three partitions each", () -> first.assigned == 3 && second.assigned == 3);
        until("all records", () -> seen() >= RECORDS);
        second.leave();
        until("all partitions", () -> first.assigned == PARTITIONS);
        produce(true);
        until("the records after one left", () -> seen() >= 2 * RECORDS);
        first.leave();
        List<String> all = new ArrayList<>(first.seen);
        all.addAll(second.seen);
        int different = new HashSet<>(all).size();
        if (different != all.size()) {
            throw new Exception(all.size() + " records came, " + different + " different ones");
        }
        long committed = committed(group);
        if (committed != 2L * RECORDS) {
            throw new Exception(committed + " records are committed");
        }
        String transactions = copyInTransactions();
        System.out.println("ok: " + all.size() + " records, each once; 3 + 3 partitions, then 6; "
            + transactions);
    }

    KafkaProducer<String, String> transactional() {
        Properties settings = settings();
        settings.put("transactional.id", group + "-copier");
        settings.put("key.serializer", StringSerializer.class.getName());
        settings.put("value.serializer", StringSerializer.class.getName());
        return new KafkaProducer<>(settings);
    }

    KafkaConsumer<String, String> reader(String isolation) {
        Properties settings = settings();
        settings.put("group.id", group + "-copiers");
        settings.put("group.protocol", protocol);
        settings.put("isolation.level", isolation);
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        settings.put("max.poll.records", "50");
        settings.put("key.deserializer", StringDeserializer.class.getName());
        settings.put("value.deserializer", StringDeserializer.class.getName());
        return new KafkaConsumer<>(settings);
    }

    /**
     * Copies all records in transactions that also commit how far it has read; each third one is
     * aborted, and its records are copied again. At last another producer takes over.
     */
    String copyInTransactions() throws Exception {
        String copies = topic + "-copies";
        try (Admin admin = Admin.create(settings())) {
            admin.createTopics(List.of(new NewTopic(copies, PARTITIONS, (short) 3))).all().get();
        }
        int aborted = 0;
        try (var producer = transactional(); var consumer = reader("read_committed")) {
            producer.initTransactions();
            consumer.subscribe(List.of(topic));
            int copied = 0;
            long deadline = System.nanoTime() + Duration.ofSeconds(60).toNanos();
            for (int number = 1; copied < 2 * RECORDS; ) {
                if (System.nanoTime() > deadline) {
                    throw new Exception(copied + " records were copied in time");
                }
                var records = consumer.poll(Duration.ofMillis(200));
                if (records.isEmpty()) {
                    continue;
                }
                producer.beginTransaction();
                copy(producer, consumer, records, copies);
                if (number++ % 3 == 0) {
                    producer.abortTransaction();
                    aborted++;
                    records.partitions().forEach(partition ->
                        consumer.seek(partition, records.records(partition).get(0).offset()));
                } else {
                    producer.commitTransaction();
                    copied += records.count();
                }
            }
            fence(producer, copies);
        }
        List<String> committed = values(copies, "read_committed");
        int different = new HashSet<>(committed).size();
        if (committed.size() != 2 * RECORDS || different != committed.size()) {
            throw new Exception(committed.size() + " copies, " + different + " different ones");
        }
        int all = values(copies, "read_uncommitted").size();
        if (aborted == 0 || all <= committed.size()) {
            throw new Exception(aborted + " aborted transactions, " + all + " records with them");
        }
        long offsets = committed(group + "-copiers");
        if (offsets != 2L * RECORDS) {
            throw new Exception(offsets + " records are committed by transactions");
        }
        return committed.size() + " copied in transactions, " + aborted + " of which were aborted";
    }

    /** Sends a copy of each, with where it comes from as its value, and commits the offsets. */
    void copy(
        KafkaProducer<String, String> producer,
        KafkaConsumer<String, String> consumer,
        ConsumerRecords<String, String> records,
        String copies
    ) {
        Map<TopicPartition, OffsetAndMetadata> next = new HashMap<>();
        for (ConsumerRecord<String, String> record : records) {
            String from = record.partition() + "/" + record.offset();
            producer.send(new ProducerRecord<>(copies, record.partition(), null, from));
            next.put(new TopicPartition(topic, record.partition()),
                new OffsetAndMetadata(record.offset() + 1));
        }
        producer.sendOffsetsToTransaction(next, consumer.groupMetadata());
    }

    /** Another producer of that id takes over, in the midst of a transaction of the first. */
    void fence(KafkaProducer<String, String> first, String copies) throws Exception {
        first.beginTransaction();
        first.send(new ProducerRecord<>(copies, 0, null, "of a producer that is fenced")).get();
        try (var second = transactional()) {
            second.initTransactions();
            try {
                first.commitTransaction();
            } catch (ProducerFencedException expected) {
                return;
            }
            throw new Exception("a producer committed after another took over");
        }
    }

    /** All values of a topic, as who reads with that isolation sees them. */
    List<String> values(String name, String isolation) throws Exception {
        List<String> values = new ArrayList<>();
        try (var consumer = reader(isolation)) {
            List<TopicPartition> all = new ArrayList<>();
            for (int partition = 0; partition < PARTITIONS; partition++) {
                all.add(new TopicPartition(name, partition));
            }
            consumer.assign(all);
            consumer.seekToBeginning(all);
            var ends = consumer.endOffsets(all);
            long deadline = System.nanoTime() + Duration.ofSeconds(60).toNanos();
            while (all.stream().anyMatch(it -> consumer.position(it) < ends.get(it))) {
                if (System.nanoTime() > deadline) {
                    throw new Exception(name + " cannot be read to its end");
                }
                consumer.poll(Duration.ofMillis(200)).forEach(it -> values.add(it.value()));
            }
        }
        return values;
    }

    long committed(String group) throws Exception {
        try (Admin admin = Admin.create(settings())) {
            var listed = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata();
            return listed.get().values().stream().mapToLong(offset -> offset.offset()).sum();
        }
    }

    public static void main(String[] arguments) {
        try {
            new WithApacheJava(arguments).run();
        } catch (Exception error) {
            System.out.println(error);
            System.exit(1);
        }
    }
}
