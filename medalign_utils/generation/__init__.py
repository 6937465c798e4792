"""Systems and their responses: generators, terms of use, storage, cost."""
