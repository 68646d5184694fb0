
-- Postgres's index of the documents that viewers find. `words` holds the title's words with weight A and the description's
-- with weight D, folded by the program: the words of a text are the same whatever the server's dictionaries are.
CREATE TABLE document_index (
    number BIGINT PRIMARY KEY,
    words TSVECTOR NOT NULL
);
CREATE INDEX document_index_words ON document_index USING GIN (words);
