// Apache's Java client, idempotent and not: see the README beside this folder. The first argument
// is the group protocol, classic or consumer.

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.Future;
import java.util.function.BooleanSupplier;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
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
        long committed = committed();
        if (committed != 2L * RECORDS) {
            throw new Exception(committed + " records are committed");
        }
        System.out.println("ok: " + all.size() + " records, each once; 3 + 3 partitions, then 6");
    }

    long committed() throws Exception {
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
