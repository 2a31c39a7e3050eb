//! What a CA's validation is answered, by every node, from memory: tokens that some node asked for, and nothing else.
