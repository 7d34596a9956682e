import rkeras.tf as tf
inputs = tf.keras.Input(shape=(100,), name='text')
x = tf.keras.layers.Embedding(10000, 64)(inputs)
x = tf.keras.layers.LSTM(64, return_sequences=True)(x)
# 分类输出
class_output = tf.keras.layers.Dense(10, activation='softmax', name='classification')(x[:, -1, :])
# 序列标注输出
seq_output = tf.keras.layers.Dense(5, activation='softmax', name='sequence')(x)
model = tf.keras.Model(
    inputs=inputs,
    outputs=[class_output, seq_output]
)
model.compile(
    optimizer='adam',
    loss={
        'classification': 'sparse_categorical_crossentropy',
        'sequence': 'sparse_categorical_crossentropy'
    },
    loss_weights={
        'classification': 1.0,
        'sequence': 0.5
    }
)
