// Kafka Streams' word count: lines in, a count of each word out, by a repartition topic and a store
// with its changelog. Two instances share the work; one leaves half-way, and the other goes on. The
// first argument is the guarantee, at_least_once or exactly_once_v2. Its store is in memory, so
// that who goes on makes it anew from the changelog.

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.LongDeserializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.BuiltInDslStoreSuppliers;

public class WordCount {
    static final int LINES = 600;
    static final int PARTITIONS = 6;
    static final List<String> WORDS = List.of("vltava", "labe", "sazava", "berounka", "otava");

    final String bootstrap;
    final String topic;
    final String application;
    final String guarantee;
    final Path state;

    WordCount(String[] arguments) throws Exception {
        bootstrap = arguments[1];
        topic = arguments[2];
        application = arguments[3];
        guarantee = arguments[0];
        state = Files.createTempDirectory("word-count");
    }

    Properties settings() {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        return settings;
    }

    String counts() {
        return topic + "-counts";
    }

    KafkaStreams instance(int number) {
        StreamsBuilder builder = new StreamsBuilder();
        builder.<String, String>stream(topic)
            .flatMapValues(line -> Arrays.asList(line.split(" ")))
            .groupBy((key, word) -> word, Grouped.with(Serdes.String(), Serdes.String()))
            .count()
            .toStream()
            .to(counts(), Produced.with(Serdes.String(), Serdes.Long()));
        Properties settings = settings();
        settings.put("application.id", application);
        settings.put("processing.guarantee", guarantee);
        settings.put("state.dir", state.resolve(String.valueOf(number)).toString());
        settings.put("default.key.serde", Serdes.StringSerde.class.getName());
        settings.put("default.value.serde", Serdes.StringSerde.class.getName());
        settings.put("auto.offset.reset", "earliest");
        settings.put("commit.interval.ms", "200");
        // Who closes does not leave the group: it is missed after this time.
        settings.put("session.timeout.ms", "6000");
        settings.put("heartbeat.interval.ms", "1000");
        settings.put("dsl.store.suppliers.class",
            BuiltInDslStoreSuppliers.InMemoryDslStoreSuppliers.class.getName());
        return new KafkaStreams(builder.build(), settings);
    }

    /** Each line has every word once, so that each is to be counted so often. */
    void produce() throws Exception {
        Properties settings = settings();
        settings.put("key.serializer", StringSerializer.class.getName());
        settings.put("value.serializer", StringSerializer.class.getName());
        try (var producer = new KafkaProducer<String, String>(settings)) {
            String line = String.join(" ", WORDS);
            for (int index = 0; index < LINES; index++) {
                producer.send(new ProducerRecord<>(topic, index % PARTITIONS, null, line));
            }
        }
    }

    /** Reads the counts from their start until every word has that one, and keeps it. */
    void expect(long expected) throws Exception {
        Properties settings = settings();
        settings.put("isolation.level", "read_committed");
        settings.put("key.deserializer", StringDeserializer.class.getName());
        settings.put("value.deserializer", LongDeserializer.class.getName());
        try (var consumer = new KafkaConsumer<String, Long>(settings)) {
            List<TopicPartition> all = new ArrayList<>();
            for (int partition = 0; partition < PARTITIONS; partition++) {
                all.add(new TopicPartition(counts(), partition));
            }
            consumer.assign(all);
            consumer.seekToBeginning(all);
            Map<String, Long> latest = new TreeMap<>();
            Map<String, Long> wanted = new HashMap<>();
            WORDS.forEach(word -> wanted.put(word, expected));
            long deadline = System.nanoTime() + Duration.ofSeconds(90).toNanos();
            while (!latest.equals(wanted)) {
                if (System.nanoTime() > deadline) {
                    throw new Exception("counted " + latest + ", not " + expected + " of each");
                }
                consumer.poll(Duration.ofMillis(200))
                    .forEach(record -> latest.put(record.key(), record.value()));
            }
            // What is counted twice would come now.
            long quiet = System.nanoTime() + Duration.ofSeconds(2).toNanos();
            while (System.nanoTime() < quiet) {
                consumer.poll(Duration.ofMillis(200))
                    .forEach(record -> latest.put(record.key(), record.value()));
            }
            if (!latest.equals(wanted)) {
                throw new Exception("counted on: " + latest + ", not " + expected + " of each");
            }
        }
    }

    void run() throws Exception {
        try (Admin admin = Admin.create(settings())) {
            admin.createTopics(List.of(new NewTopic(counts(), PARTITIONS, (short) 3))).all().get();
        }
        produce();
        try (KafkaStreams first = instance(1); KafkaStreams second = instance(2)) {
            first.start();
            second.start();
            expect(LINES);
            second.close(Duration.ofSeconds(30));
            produce();
            expect(2 * LINES);
        }
        int each = 2 * LINES;
        System.out.println("ok: " + each + " of each of " + WORDS.size() + " words, " + guarantee);
    }

    public static void main(String[] arguments) {
        try {
            new WordCount(arguments).run();
            System.exit(0);
        } catch (Exception error) {
            System.out.println(error);
            System.exit(1);
        }
    }
}
